// What clients/autobahn_python_options.py sees, seen by two sessions of the npm package `wampy`.
//
//     node wampy_options.js websocket SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./wampy_client");
const { Queue, failureOf, randomPrefix } = require("./conversation");

async function events(first, second, prefix) {
  const heard = new Queue();
  const topic = `${prefix}.topic`;
  const [one, two] = [first, second].map((client) => Number(client.getSessionId())); // MessagePack makes it a BigInt
  let publisher;
  await first.subscribe(topic, ({ argsList, details }) => { heard.put(argsList[0]); publisher = details.publisher; });
  await second.publish(topic, { argsList: ["excluded"] }, { exclude: one });
  await second.publish(topic, { argsList: ["not eligible"] }, { eligible: two });
  await second.publish(topic, { argsList: ["eligible"] }, { eligible: one, disclose_me: true });
  return { heard: [await heard.get()], publisher: Number(publisher) === two };
}

async function calls(first, second, prefix) {
  const caller = Number(second.getSessionId());
  const count = ({ argsList: [until], details, result_handler: result }) => {
    for (let number = 0; number < until; number += 1) result({ argsList: [number], options: { progress: true } });
    return { argsList: [Number(details.caller) === caller ? "end" : "who calls?"] };
  };
  await first.register(`${prefix}.count`, count);
  await first.register(`${prefix}.hang`, () => new Promise(() => {}));
  const progress = [];
  const counted = await second.call(`${prefix}.count`, { argsList: [3] }, {
    disclose_me: true, progress_callback: ({ argsList }) => progress.push(argsList[0]),
  });
  const late = await failureOf(second.call(`${prefix}.hang`, {}, { timeout: 50 }));
  const hanging = second.call(`${prefix}.hang`);
  second.cancel(second.getOpStatus().reqId, { mode: "kill" });
  const canceled = await failureOf(hanging);
  const after = await second.call(`${prefix}.count`, { argsList: [0] }, { disclose_me: true });
  return {
    progress: [...progress, counted.argsList[0]],
    timeout: late.errorUri,
    canceled: canceled.errorUri === "wamp.error.canceled",
    after: after.argsList[0],
  };
}

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(serializer, firstPort, "lenient");
  const two = await join(serializer, secondPort, "lenient");
  const prefix = randomPrefix();
  const seen = { ...await events(one.client, two.client, prefix), ...await calls(one.client, two.client, prefix) };
  await Promise.all([one.leave(), two.leave()]);
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
