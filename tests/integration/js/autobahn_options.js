// What clients/autobahn_python_options.py sees, seen by two sessions of the npm package `autobahn`.
//
//     node autobahn_options.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./autobahn_client");
const { Queue, failureOf, randomPrefix } = require("./conversation");

async function events(first, second, prefix) {
  const heard = new Queue();
  const topic = `${prefix}.topic`;
  let publisher;
  await first.subscribe(topic, ([word], _, details) => { heard.put(word); publisher = details.publisher; });
  const acknowledged = { acknowledge: true };
  await second.publish(topic, ["excluded"], {}, { ...acknowledged, exclude: [first.id] });
  await second.publish(topic, ["not eligible"], {}, { ...acknowledged, eligible: [second.id] });
  await second.publish(topic, ["eligible"], {}, { ...acknowledged, eligible: [first.id], disclose_me: true });
  return { heard: [await heard.get()], publisher: publisher === second.id };
}

async function calls(first, second, prefix) {
  const count = ([until], _, details) => {
    for (let number = 0; number < until; number += 1) details.progress([number]);
    return details.caller === second.id ? "end" : "who calls?";
  };
  await first.register(`${prefix}.count`, count);
  await first.register(`${prefix}.hang`, () => new Promise(() => {}));
  const progress = [];
  const counted = second.call(`${prefix}.count`, [3], {}, { receive_progress: true, disclose_me: true });
  const end = await counted.then((value) => value, undefined, (number) => progress.push(number));
  const late = await failureOf(second.call(`${prefix}.hang`, [], {}, { timeout: 50 }));
  const hanging = second.call(`${prefix}.hang`);
  hanging.cancel({ mode: "kill" });
  const canceled = await failureOf(hanging);
  const after = await second.call(`${prefix}.count`, [0], {}, { disclose_me: true });
  return {
    progress: [...progress, end], timeout: late.error, canceled: canceled.error === "wamp.error.canceled", after,
  };
}

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(transport, serializer, firstPort, "lenient");
  const two = await join(transport, serializer, secondPort, "lenient");
  const prefix = randomPrefix();
  const seen = {
    ...await events(one.session, two.session, prefix), ...await calls(one.session, two.session, prefix),
  };
  await one.leave();
  await two.leave();
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
