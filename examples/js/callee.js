// Offers a procedure.    node callee.js [ws://127.0.0.1:8083/ws]
globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");

const connection = new autobahn.Connection({ url: process.argv[2] ?? "ws://127.0.0.1:8083/ws", realm: "realm1" });

function divide([a, b]) {
  if (b === 0) {
    throw new autobahn.Error("com.example.division_by_zero", [`${a} divided by nothing`], { dividend: a });
  }
  return a / b;
}

connection.onopen = async (session) => {
  await session.register("com.example.divide", divide);
  console.log("registered");
};

connection.open();
