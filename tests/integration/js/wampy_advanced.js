// What clients/xconn_python_advanced.py sees, seen by sessions of the npm package `wampy`.
//
//     node wampy_advanced.js websocket SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./wampy_client");
const { Queue, failureOf, randomPrefix } = require("./conversation");

async function kept(first, second, topic) {
  const heard = new Queue();
  for (const number of [1, 2]) await second.publish(topic, { argsList: [number] });
  const subscription = await first.subscribe(
    topic, ({ argsList: [number], details }) => heard.put([number, details.retained === true]), { get_retained: true });
  await second.publish(topic, { argsList: [3] });
  const live = await heard.get();
  const history = await first.call("wamp.subscription.get_events", { argsList: [subscription.subscriptionId] });
  return { live, history: history.argsList.map((event) => event.args[0]) };
}

async function shared(one, two, three, caller, procedure) {
  const offer = (client, word, invoke) => client.register(procedure, () => ({ argsList: [word] }), { invoke });
  await offer(one, "one", "roundrobin");
  await offer(two, "two", "roundrobin");
  const turns = [];
  for (let number = 0; number < 4; number += 1) turns.push((await caller.call(procedure)).argsList[0]);
  const conflict = await failureOf(offer(three, "three", "random"));
  return {
    turns: [...turns.slice(0, 2).sort(), turns[0] === turns[2] && turns[1] === turns[3]], conflict: conflict.errorUri,
  };
}

async function sessions(first, second, topic) {
  const told = new Queue();
  const subject = Number(second.getSessionId());
  await first.subscribe(topic, ({ argsList: [word] }) => told.put(word));
  await first.subscribe("wamp.session.on_leave", ({ argsList: [session] }) => {
    if (Number(session) === subject) told.put("left");
  });
  const details = await known(first, subject);
  for (const [word, scope] of [["second", "destroyed"], ["first", "detached"]]) {
    await second.call("wamp.session.add_testament", { argsList: [topic, [word], {}], argsDict: { scope } });
  }
  await first.call("wamp.session.kill", { argsList: [subject], argsDict: { reason: "test.enough" } });
  const events = [];
  for (let number = 0; number < 3; number += 1) events.push(await told.get());
  return { details: [details.authrole, details.authmethod], told: events };
}

/** What is known of a session; its node reports it a moment after WELCOME. */
async function known(client, subject) {
  for (;;) {
    try {
      return (await client.call("wamp.session.get", { argsList: [subject] })).argsList[0];
    } catch (error) {
      if (error.errorUri !== "wamp.error.no_such_session") throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function main(transport, serializer, firstPort, secondPort) {
  const joined = [];
  for (const port of [firstPort, secondPort, firstPort, secondPort]) joined.push(await join(serializer, port, "meta"));
  const [one, two, three, four] = joined.map(({ client }) => client);
  const name = randomPrefix();
  const seen = {
    kept: await kept(one, two, `history.${name}`),
    shared: await shared(one, two, three, four, name),
    sessions: await sessions(one, two, name),
  };
  for (const place of [0, 2, 3]) await joined[place].leave();
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
