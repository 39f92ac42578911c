// What clients/autobahn_python_meta.py sees, seen by two sessions of the npm package `autobahn`.
//
//     node autobahn_meta.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./autobahn_client");
const { Queue, failureOf, randomPrefix } = require("./conversation");

const LIFE = {
  subscription: ["on_create", "on_subscribe", "on_unsubscribe", "on_delete"],
  registration: ["on_create", "on_register", "on_unregister", "on_delete"],
};

const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

async function watch(session, kind) {
  const heard = new Queue();
  for (const name of LIFE[kind]) await session.subscribe(`wamp.${kind}.${name}`, () => heard.put(name));
  return heard;
}

async function life(first, second, kind, uri, make, names) {
  const heard = await watch(first, kind);
  const made = await make(uri);
  const ask = (procedure, ...args) => first.call(`wamp.${kind}.${procedure}`, args);
  const found = await ask("lookup", uri);
  const details = await ask("get", found);
  const members = await ask(names.list, found);
  const counted = await ask(names.count, found);
  await ask(names.remove, found, second.id, "enough");
  const events = [];
  for (let number = 0; number < 4; number += 1) events.push(await heard.get());
  while (made.active) await pause();
  const refused = await failureOf(ask("get", 2 ** 40));
  return {
    found: found === made.id, details: [details.uri === uri, details.match],
    members: [members.length === 1 && members[0] === second.id, counted], events, gone: !made.active,
    unknown: refused.error,
  };
}

async function main(transport, serializer, firstPort, secondPort) {
  const one = await join(transport, serializer, firstPort, "meta");
  const two = await join(transport, serializer, secondPort, "meta");
  const [first, second, uri] = [one.session, two.session, randomPrefix()];
  const seen = {
    subscription: await life(first, second, "subscription", uri, (topic) => second.subscribe(topic, () => {}), {
      list: "list_subscribers", count: "count_subscribers", remove: "remove_subscriber",
    }),
    registration: await life(first, second, "registration", uri, (name) => second.register(name, () => null), {
      list: "list_callees", count: "count_callees", remove: "remove_callee",
    }),
  };
  await one.leave();
  await two.leave();
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
