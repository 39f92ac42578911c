// The conversation of clients/autobahn_python.py, held by two sessions of the npm package `wampy`.
//
//     node wampy_client.js websocket SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { Wampy } = require("wampy");
const { JsonSerializer } = require("wampy/JsonSerializer.js");
const { MsgpackSerializer } = require("wampy/MsgpackSerializer.js");
const { CborSerializer } = require("wampy/CborSerializer.js");
const ws = require("ws");
const { NAMED, PAYLOAD, Queue, failureOf, payloadOf, randomPrefix, sendableBinary } = require("./conversation");

const SERIALIZERS = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };

async function join(serializer, port, realm = "realm1") {
  const client = new Wampy(`ws://127.0.0.1:${port}/ws`, {
    realm, ws, serializer: new SERIALIZERS[serializer](), autoReconnect: false,
  });
  const closed = new Promise((resolve) => client.setOptions({ onClose: resolve }));
  await client.connect();
  return { client, leave: () => client.disconnect().then(() => closed) };
}

async function events(first, second, prefix, binary) {
  const heard = new Queue();
  const patterned = new Queue();
  const topic = `${prefix}.topic`;
  const subscription = await first.subscribe(topic, (event) => heard.put(payloadOf(event.argsList, event.argsDict)));
  await first.subscribe(prefix, (event) => patterned.put(event.details.topic), { match: "prefix" });

  await second.publish(topic, { argsList: PAYLOAD, argsDict: NAMED });
  const event = await heard.get();
  const patternTopic = await patterned.get();
  let hex = null;
  if (binary) {
    await second.publish(topic, { argsList: [binary] });
    hex = Buffer.from((await heard.get())[0][0]).toString("hex");
  }
  await first.publish(topic, { argsList: ["own"] }); // wampy cannot say `exclude_me: false`, so nobody hears it
  await first.unsubscribe(subscription.subscriptionKey);
  await second.publish(topic, { argsList: ["unheard"] });
  await second.publish(`${prefix}.end`);
  while ((await patterned.get()) !== `${prefix}.end`);
  return {
    event, own: null, binary: hex, pattern_topic: patternTopic.slice(prefix.length), after_unsubscribe: heard.length,
  };
}

async function calls(first, second, prefix) {
  const refuse = ({ argsList, argsDict }) => {
    throw Object.assign(new Error("refused"), { error: "com.example.refused", argsList, argsDict });
  };
  await first.register(`${prefix}.echo`, ({ argsList, argsDict }) => ({ argsList, argsDict }));
  await first.register(`${prefix}.refuse`, refuse);
  const result = await second.call(`${prefix}.echo`, { argsList: PAYLOAD, argsDict: NAMED });
  const error = await failureOf(second.call(`${prefix}.refuse`, { argsList: PAYLOAD, argsDict: NAMED }));
  const taken = await failureOf(second.register(`${prefix}.echo`, refuse));
  await first.unregister(`${prefix}.echo`);
  const gone = await failureOf(second.call(`${prefix}.echo`));
  return {
    result: payloadOf(result.argsList, result.argsDict),
    error: [error.errorUri, ...payloadOf(error.argsList, error.argsDict)],
    taken: taken.errorUri,
    after_unregister: gone.errorUri,
  };
}

async function main(transport, serializer, firstPort, secondPort) {
  if (transport !== "websocket") throw new Error("wampy speaks WebSocket only");
  const one = await join(serializer, firstPort);
  const two = await join(serializer, secondPort);
  const prefix = randomPrefix();
  const seen = {
    ...await events(one.client, two.client, prefix, sendableBinary(serializer)),
    ...await calls(one.client, two.client, prefix),
  };
  await Promise.all([one.leave(), two.leave()]);
  console.log(JSON.stringify(seen));
}

module.exports = { join };

if (require.main === module) {
  main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
}
