// Drives a broker with kafkajs: admin, produce (none, gzip, idempotent), group consume, commit and resume.
// Prints one line per step; the first failure ends it with status 1.
//
//   node main.js HOST:PORT
"use strict";

const { Kafka, CompressionTypes, logLevel } = require("kafkajs");

const [topic, groupId, COUNT] = ["kafkajs", "kafkajs-group", 200];

function same(step, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${step}: ${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  }
  console.log(`ok ${step}`);
}

const messages = () => Array.from({ length: COUNT }, (_, i) => ({ key: `key ${i}`, value: `value ${i}`, headers: { h: "v" } }));

// Joins the group and hands back the first `wanted` messages; commits what it saw when it leaves.
async function take(kafka, wanted) {
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 200, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const found = [];
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`only ${found.length} of ${wanted} messages`)), 30000);
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        found.push(message);
        if (found.length === wanted) {
          clearTimeout(timer);
          resolve();
        }
      },
    }).catch(reject);
  });
  const next = Number(found[wanted - 1].offset) + 1;
  await consumer.commitOffsets([{ topic, partition: 0, offset: String(next) }]);
  await consumer.disconnect();
  return found.slice(0, wanted);
}

async function main() {
  const kafka = new Kafka({ clientId: "compat", brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  same("create topic", await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true }), true);
  same("create it again", await admin.createTopics({ topics: [{ topic }] }), false);
  await admin.createPartitions({ topicPartitions: [{ topic: `${topic}`, count: 2 }] });
  same("list topics", (await admin.listTopics()).includes(topic), true);

  let base = 0;
  for (const [name, compression, idempotent] of [
    ["plain", CompressionTypes.None, false],
    ["gzip", CompressionTypes.GZIP, false],
    ["idempotent", CompressionTypes.None, true],
  ]) {
    const producer = kafka.producer({ idempotent, createPartitioner: () => () => 0 });
    await producer.connect();
    const [sent] = await producer.send({ topic, compression, messages: messages(), acks: -1 });
    await producer.disconnect();
    same(`produce ${name}`, [sent.errorCode, sent.baseOffset], [0, String(base)]);
    base += COUNT;
  }

  const first = await take(kafka, COUNT);
  same("consume in a group", first.map((message) => String(message.value)), messages().map((message) => message.value));
  same("headers", String(first[0].headers.h), "v");
  const second = await take(kafka, 10);
  same("resume after the commit", second[0].offset, String(COUNT));

  const described = await admin.describeGroups([groupId]);
  same("describe group", [described.groups[0].state, described.groups[0].errorCode], ["Empty", 0]);
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
  same("fetch offsets", offsets.partitions.find(({ partition }) => partition === 0).offset, String(COUNT + 10));
  const ends = await admin.fetchTopicOffsets(topic);
  same("topic offsets", ends.find(({ partition }) => partition === 0).high, String(base));
  const early = await admin.fetchTopicOffsetsByTimestamp(topic, 1);
  same("offsets by timestamp", early.find(({ partition }) => partition === 0).offset, "0");
  const configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] });
  same("describe configs", configs.resources[0].errorCode, 0);
  await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: "retention.ms", value: "5000" }] }] });
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "50" }] });
  const kept = await admin.fetchTopicOffsets(topic);
  same("delete records", kept.find(({ partition }) => partition === 0).low, "50");
  same("list groups", (await admin.listGroups()).groups.some((group) => group.groupId === groupId), true);
  await admin.deleteGroups([groupId]);
  await admin.deleteTopics({ topics: [topic] });
  const cluster = await admin.describeCluster();
  same("describe cluster", cluster.brokers.length, 1);
  await admin.disconnect();
  console.log("done");
}

main().catch((error) => {
  console.log(`FAILED ${error.stack}`);
  process.exit(1);
});
