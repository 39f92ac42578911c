// What clients/autobahn_python_kept.py sees, seen by two sessions of the npm package `autobahn`.
//
//     node autobahn_kept.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./autobahn_client");
const { Queue, randomPrefix } = require("./conversation");

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(transport, serializer, firstPort);
  const two = await join(transport, serializer, secondPort);
  const [first, second] = [one.session, two.session];
  const topic = `history.${randomPrefix()}`;
  const retain = { acknowledge: true, retain: true };
  for (const number of [1, 2]) await second.publish(topic, [number], {}, retain);
  const heard = new Queue();
  const subscription = await first.subscribe(
    topic, ([number], _, details) => heard.put([number, details.retained === true]), { get_retained: true });
  const retained = await heard.get();
  await second.publish(topic, [3], {}, retain);
  const live = await heard.get();
  const history = await first.call("wamp.subscription.get_events", [subscription.id]);
  const last = await first.call("wamp.subscription.get_events", [subscription.id], { limit: 1, reverse: true });
  await one.leave();
  await two.leave();
  console.log(JSON.stringify({
    retained, live, history: history.args.map((event) => event.args[0]), last: last.args,
  }));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
