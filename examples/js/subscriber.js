// Prints every event of a topic.    node subscriber.js [ws://127.0.0.1:8081/ws]
globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");

const connection = new autobahn.Connection({ url: process.argv[2] ?? "ws://127.0.0.1:8081/ws", realm: "realm1" });

connection.onopen = async (session) => {
  await session.subscribe("com.example.hello", (args, kwargs) => console.log("event:", args, kwargs));
  console.log("subscribed");
};

connection.open();
