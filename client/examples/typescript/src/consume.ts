// Reads a topic as a member of a group, and goes on at the next node when one fails. Ends after COUNT different values,
// or when it is told to (SIGTERM, Ctrl-C).
import { credentials, status, type ServiceError } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TopicPartitionOffset } from "../generated/odradek/v1/record.js";
import { ConsumeRequest, RecordServiceClient, type Records } from "../generated/odradek/v1/record_service.js";

const CREDIT = 1000; // how many records the node may send ahead
const TRY_AGAIN = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.UNKNOWN, status.CANCELLED];

const [addressList, topic, groupId, countText = "Infinity"] = process.argv.slice(2);
if (groupId === undefined) {
  console.error("usage: consume ADDRESS[,ADDRESS...] TOPIC GROUP [COUNT]");
  process.exit(2);
}
const addresses = addressList.split(",");
const count = Number(countText);
const seen = new Set<string>();
const instanceId = randomUUID(); // its place in the group: it gets that back when it connects again
let isLeaving = false;
let halfClose = () => {};

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, leave);
}
for (let at = 0; !isLeaving; at++) {
  try {
    await consume(addresses[at % addresses.length]);
    break;
  } catch (error) {
    if (!TRY_AGAIN.includes((error as ServiceError).code)) throw error;
    console.error((error as ServiceError).message);
    await sleep(100);
  }
}

/** Reads at one node for as long as that goes well; returns when it ended because this program wanted so. */
async function consume(address: string): Promise<void> {
  // The option: notice a node that vanished.
  const node = new RecordServiceClient(address, credentials.createInsecure(), { "grpc.keepalive_time_ms": 10_000 });
  try {
    const stream = node.consume();
    halfClose = () => stream.end();
    stream.write(ConsumeRequest.fromPartial({ subscribe: { topics: [topic], groupId, instanceId }, credit: CREDIT }));
    for await (const response of stream) {
      if (response.records === undefined || isLeaving) continue; // what is not acknowledged, another member gets
      stream.write(ConsumeRequest.fromPartial(handle(response.records)));
      if (seen.size >= count) leave();
    }
  } finally {
    node.close();
  }
}

/** Deals with the records; returns what to tell the node: up to where, and that it may send as many more. */
function handle(records: Records) {
  const done: TopicPartitionOffset[] = [];
  let credit = 0;
  for (const { topic, partition, records: batch } of records.partitions) {
    for (const { offset, value } of batch) {
      console.log(`${partition} ${offset} ${value}`);
      seen.add(String(value));
    }
    done.push({ topic, partition, offset: batch[batch.length - 1].offset });
    credit += batch.length;
  }
  return { acknowledge: { records: done }, credit };
}

/** Half-closes the stream: the node commits what was acknowledged, and ends it. */
function leave(): void {
  if (!isLeaving) halfClose();
  isLeaving = true;
}
