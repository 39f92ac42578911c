// Calls a procedure, in vain and in earnest.    node caller.js [ws://127.0.0.1:8081/ws]
globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");

const connection = new autobahn.Connection({ url: process.argv[2] ?? "ws://127.0.0.1:8081/ws", realm: "realm1" });

connection.onopen = async (session) => {
  try {
    await session.call("com.example.divide", [1, 0]);
  } catch (error) {
    console.log("error:", error.error, error.args, error.kwargs);
  }
  console.log("result:", await session.call("com.example.divide", [1, 4]));
  connection.close();
};

connection.open();
