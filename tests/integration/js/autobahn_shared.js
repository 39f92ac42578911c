// What clients/autobahn_python_shared.py sees, seen by four sessions of the npm package `autobahn`.
//
//     node autobahn_shared.js TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND
"use strict";

const { join } = require("./autobahn_client");
const { failureOf, randomPrefix } = require("./conversation");

async function main(transport, serializer, firstPort, secondPort) {
  const clients = [];
  for (const port of [firstPort, secondPort, firstPort, secondPort]) clients.push(await join(transport, serializer, port));
  const [one, two, three, caller] = clients.map((client) => client.session);
  const procedure = randomPrefix();
  const shared = { invoke: "roundrobin" };
  await one.register(procedure, () => "one", shared);
  await two.register(procedure, () => "two", shared);
  const turns = [];
  for (let number = 0; number < 4; number += 1) turns.push(await caller.call(procedure));
  const conflict = await failureOf(three.register(procedure, () => "three", { invoke: "random" }));
  await three.register(procedure, () => "three", { force_reregister: true });
  const forced = await caller.call(procedure);

  let finish;
  const hanging = new Promise((done) => { finish = done; });
  await one.register(`${procedure}.limited`, () => hanging, { concurrency: 1 });
  const pending = caller.call(`${procedure}.limited`);
  const full = await failureOf(caller.call(`${procedure}.limited`));
  finish("done");
  const seen = {
    turns: [...turns.slice(0, 2).sort(), turns[0] === turns[2] && turns[1] === turns[3]],
    conflict: conflict.error, forced, goes_on: one.isOpen, full: full.error, done: await pending,
  };
  for (const client of clients) await client.leave();
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
