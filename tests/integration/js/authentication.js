// Joins a realm by a proof, with Autobahn|JS; prints who the router says one is, or why it let one not in.
//
//     node authentication.js PORT METHOD AUTHID SECRET

globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");
const nacl = require("tweetnacl"); // which Autobahn brings

const [port, method, authid, secret] = process.argv.slice(2);

const pair = method === "cryptosign" ? nacl.sign.keyPair.fromSeed(Buffer.from(secret, "hex")) : null;

function sign(challenge) {
  if (challenge.method === "ticket") return secret;
  if (pair) return autobahn.auth_cryptosign.sign_challenge(pair, challenge.extra);
  const extra = challenge.extra;
  const key = extra.salt
    ? autobahn.auth_cra.derive_key(secret, extra.salt, extra.iterations, extra.keylen)
    : secret;
  return autobahn.auth_cra.sign(key, extra.challenge);
}

const connection = new autobahn.Connection({
  url: `ws://127.0.0.1:${port}/ws`,
  realm: "realm1",
  max_retries: 0,
  authid,
  authmethods: [method],
  authextra: pair ? { pubkey: autobahn.auth_cryptosign.public_key(pair), channel_binding: null } : undefined,
  onchallenge: (session, name, extra) => sign({ method: name, extra }),
});
connection.onopen = (session, details) => {
  console.log(details.authid, details.authmethod);
  connection.close();
};
connection.onclose = (reason, details) => {
  if (details.reason !== "wamp.close.normal" && details.reason !== "wamp.close.goodbye_and_out") {
    console.log(details.reason);
  }
  return true;
};
connection.open();
