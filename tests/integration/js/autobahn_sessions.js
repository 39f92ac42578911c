// What clients/autobahn_python_sessions.py sees, seen by two sessions of the npm package `autobahn`.
//
//     node autobahn_sessions.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./autobahn_client");
const { Queue, failureOf, payloadOf, randomPrefix } = require("./conversation");

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

/** What is known of the second session; its node reports it a moment after WELCOME. */
async function known(first, second) {
  for (;;) {
    try {
      const details = await first.call("wamp.session.get", [second.id]);
      const listed = await first.call("wamp.session.list");
      const counted = await first.call("wamp.session.count", [["anonymous"]]);
      return {
        details: [details.session === second.id, details.authrole, details.authmethod],
        listed: listed.includes(second.id) && counted >= 2,
      };
    } catch (error) {
      if (error.error !== "wamp.error.no_such_session") throw error;
      await pause();
    }
  }
}

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(transport, serializer, firstPort, "meta");
  const two = await join(transport, serializer, secondPort, "meta");
  const [first, second, topic] = [one.session, two.session, randomPrefix()];
  const told = new Queue();
  const subject = second.id;
  await first.subscribe(topic, (args, kwargs) => told.put(payloadOf(args, kwargs)));
  await first.subscribe("wamp.session.on_leave", ([session]) => { if (session === subject) told.put("left"); });
  const seen = await known(first, second);
  for (const [word, scope] of [["second", "destroyed"], ["first", "detached"]]) {
    await second.call("wamp.session.add_testament", [topic, [word], { n: 1 }], { scope });
  }
  await second.call("wamp.session.flush_testaments", [], { scope: "destroyed" });
  const options = { publish_options: { exclude_authrole: ["nobody"] } };
  await second.call("wamp.session.add_testament", [topic, ["third"], {}], options);
  const own = await failureOf(first.call("wamp.session.kill", [first.id]));
  await first.call("wamp.session.kill", [subject], { reason: "test.enough", message: "Enough." });
  const reason = await two.left;
  const events = [];
  for (let number = 0; number < 3; number += 1) events.push(await told.get());
  await one.leave();
  console.log(JSON.stringify({ ...seen, own: own.error, reason, told: events }));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
