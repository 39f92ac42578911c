// The conversation of clients/autobahn_python.py, held by two sessions of the npm package `autobahn`.
//
//     node autobahn_client.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");
const { NAMED, PAYLOAD, Queue, failureOf, payloadOf, randomPrefix, sendableBinary } = require("./conversation");

const SERIALIZERS = {
  json: autobahn.serializer.JSONSerializer,
  msgpack: autobahn.serializer.MsgpackSerializer,
  cbor: autobahn.serializer.CBORSerializer,
};

function join(transport, serializer, port, realm = "realm1") {
  const connection = new autobahn.Connection({
    realm,
    transports: [
      transport === "websocket"
        ? { type: "websocket", url: `ws://127.0.0.1:${port}/ws`, serializers: [new SERIALIZERS[serializer]()] }
        : { type: "rawsocket", host: "127.0.0.1", port: Number(port) },
    ],
    max_retries: 0,
  });
  return new Promise((resolve, reject) => {
    connection.onopen = (session) => {
      const left = new Promise((done) => { connection.onclose = (_, details) => done(details.reason); });
      resolve({ session, left, leave: () => { connection.close(); return left; } });
    };
    connection.onclose = (reason) => reject(new Error(`no session: ${reason}`));
    connection.open();
  });
}

async function events(first, second, prefix, binary) {
  const heard = new Queue();
  const patterned = new Queue();
  const topic = `${prefix}.topic`;
  const acknowledged = { acknowledge: true };
  const subscription = await first.subscribe(topic, (args, kwargs) => heard.put(payloadOf(args, kwargs)));
  await first.subscribe(prefix, (args, kwargs, details) => patterned.put(details.topic), { match: "prefix" });

  await second.publish(topic, PAYLOAD, NAMED, acknowledged);
  const event = await heard.get();
  const patternTopic = await patterned.get();
  let hex = null;
  if (binary) {
    await second.publish(topic, [binary], {}, acknowledged);
    hex = Buffer.from((await heard.get())[0][0]).toString("hex");
  }
  await first.publish(topic, ["own"], {}, { acknowledge: true, exclude_me: false });
  const own = await heard.get();
  await first.unsubscribe(subscription);
  await second.publish(topic, ["unheard"], {}, acknowledged);
  await second.publish(`${prefix}.end`, [], {}, acknowledged);
  while ((await patterned.get()) !== `${prefix}.end`);
  return {
    event, own, binary: hex, pattern_topic: patternTopic.slice(prefix.length), after_unsubscribe: heard.length,
  };
}

async function calls(first, second, prefix) {
  const refuse = (args, kwargs) => { throw new autobahn.Error("com.example.refused", args, kwargs); };
  const echo = await first.register(`${prefix}.echo`, (args, kwargs) => new autobahn.Result(args, kwargs));
  await first.register(`${prefix}.refuse`, refuse);
  const result = await second.call(`${prefix}.echo`, PAYLOAD, NAMED);
  const error = await failureOf(second.call(`${prefix}.refuse`, PAYLOAD, NAMED));
  const taken = await failureOf(second.register(`${prefix}.echo`, refuse));
  await first.unregister(echo);
  const gone = await failureOf(second.call(`${prefix}.echo`));
  return {
    result: payloadOf(result.args, result.kwargs),
    error: [error.error, ...payloadOf(error.args, error.kwargs)],
    taken: taken.error,
    after_unregister: gone.error,
  };
}

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(transport, serializer, firstPort);
  const two = await join(transport, serializer, secondPort);
  const prefix = randomPrefix();
  const seen = {
    ...await events(one.session, two.session, prefix, sendableBinary(serializer)),
    ...await calls(one.session, two.session, prefix),
  };
  seen.left = [await one.leave(), await two.leave()];
  console.log(JSON.stringify(seen));
}

module.exports = { join };

if (require.main === module) {
  main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
}
