// What the conversations of all JavaScript clients have in common.
"use strict";

const { randomUUID } = require("node:crypto");

const PAYLOAD = [7, "zwei", null, { deep: [1.5, true] }];
const NAMED = { name: "value", n: -1 };

/** Values in the order in which they came, for those who wait for them. */
class Queue {
  #values = [];
  #waiting = [];

  get length() {
    return this.#values.length;
  }

  put(value) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#values.push(value);
  }

  get() {
    if (this.#values.length) return Promise.resolve(this.#values.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** All octets once, or null: neither library sends binary values over JSON by WAMP's rule. */
const sendableBinary = (serializer) =>
  serializer === "json" ? null : Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));

const payloadOf = (args, kwargs) => [args ?? [], kwargs ?? {}];

const randomPrefix = () => `test.n${randomUUID().replaceAll("-", "")}`;

/** The error that a request ends with. */
async function failureOf(call) {
  let unexpected;
  try {
    unexpected = await call;
  } catch (error) {
    return error;
  }
  throw new Error(`no error but ${JSON.stringify(unexpected)}`);
}

module.exports = { NAMED, PAYLOAD, Queue, failureOf, payloadOf, randomPrefix, sendableBinary };
