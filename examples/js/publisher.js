// Publishes one event and leaves.    node publisher.js [ws://127.0.0.1:8082/ws [text]]
globalThis.WebSocket ??= require("ws"); // Node.js has its own since version 22

const autobahn = require("autobahn");

const [url = "ws://127.0.0.1:8082/ws", text = "hello"] = process.argv.slice(2);
const connection = new autobahn.Connection({ url, realm: "realm1" });

connection.onopen = async (session) => {
  const publication = await session.publish("com.example.hello", [text], {}, { acknowledge: true });
  console.log("published:", publication.id);
  connection.close();
};

connection.open();
