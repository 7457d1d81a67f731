// Writes the numbers 0 to COUNT-1, each exactly once, whatever happens to the nodes meanwhile.
import { credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { PublishRequest, RecordServiceClient } from "../generated/odradek/v1/record_service.js";

const RECORDS_PER_REQUEST = 100;
const KEYS = 100;
const DEADLINE_MS = 10_000;
const TRY_AGAIN = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.UNKNOWN, status.CANCELLED];

const [addressList, topic, countText, name = randomUUID()] = process.argv.slice(2);
if (countText === undefined) {
  console.error("usage: produce ADDRESS[,ADDRESS...] TOPIC COUNT [NAME]");
  process.exit(2);
}
const addresses = addressList.split(",");
const count = Number(countText);
let at = 0;
let node = connect();

for (let first = 0; first < count; first += RECORDS_PER_REQUEST) {
  const last = Math.min(first + RECORDS_PER_REQUEST, count) - 1;
  const request = PublishRequest.fromPartial({ topic, producerName: name, sequence: BigInt(first) });
  for (let number = first; number <= last; number++) {
    request.records.push({
      key: Buffer.from(String(number % KEYS)),
      value: Buffer.from(String(number)),
      headers: [],
    });
  }
  await send(request);
  console.log("acknowledged", first, last);
}
node.close();

function connect(): RecordServiceClient {
  return new RecordServiceClient(addresses[at], credentials.createInsecure());
}

/** Repeats a request until it is acknowledged: its name and sequence tell the nodes that it is the same one. */
async function send(request: PublishRequest): Promise<void> {
  for (;;) {
    const error = await attempt(request);
    if (error === null) return;
    if (!TRY_AGAIN.includes(error.code)) throw error;
    console.error(`${addresses[at]}: ${error.message}`);
    node.close();
    at = (at + 1) % addresses.length;
    node = connect();
    await sleep(100);
  }
}

function attempt(request: PublishRequest): Promise<ServiceError | null> {
  return new Promise((done) => {
    node.publish(request, new Metadata(), { deadline: Date.now() + DEADLINE_MS }, done);
  });
}
