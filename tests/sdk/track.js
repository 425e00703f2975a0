// This script sends messages with a published tracking SDK, unmodified, and prints what its
// callback said of each.
//
// Standard input: {sdk, address, key, messages}, where sdk is "segment" or "rudderstack" and a
// message has a type and what the SDK's method of that name takes. Standard output: an array with
// the error of each message, null for those that were delivered.
'use strict';

const fs = require('fs');
const { Analytics } = require('@segment/analytics-node');
const RudderAnalytics = require('@rudderstack/rudder-sdk-node');

// Of a request, and of all of them; a slow machine must not lose what an SDK gave up.
const MILLISECONDS_MAX = 600_000;

const CLIENTS = {
  segment: (key, address) => {
    const client = new Analytics({
      writeKey: key,
      host: address,
      httpRequestTimeout: MILLISECONDS_MAX,
    });
    client.on('error', () => {}); // each message's callback tells it
    return [client, () => client.closeAndFlush({ timeout: MILLISECONDS_MAX })];
  },
  rudderstack: (key, address) => {
    const options = { dataPlaneUrl: address, logLevel: 'none', errorHandler: () => {} };
    const client = new RudderAnalytics(key, options);
    return [client, () => client.flush()];
  },
};

async function main() {
  const asked = JSON.parse(fs.readFileSync(0, 'utf8'));
  const [client, flush] = CLIENTS[asked.sdk](asked.key, asked.address);
  const outcomes = asked.messages.map(
    ({ type, timestamp, ...message }) =>
      new Promise((resolve) => {
        client[type]({ ...message, timestamp: new Date(timestamp) }, (error) => {
          resolve(error ? String(error.message ?? error) : null);
        });
      }),
  );
  await flush();
  process.stdout.write(JSON.stringify(await Promise.all(outcomes)));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
