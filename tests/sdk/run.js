// This script runs calls of the published Node SDK, unmodified, and prints what each came to.
//
// Standard input: {baseUri, token, subscription, calls: [{operation, arguments}]}, where an
// operation is named as in the SDK: "exportTasks.createActivitiesTask". Standard output: an array
// with {result} or {error: {statusCode, code, message}} for each call.
'use strict';

const fs = require('fs');
const { TokenCredentials } = require('ms-rest');
const MobileEngagement = require('azure-arm-mobileengagement');

async function main() {
  const asked = JSON.parse(fs.readFileSync(0, 'utf8'));
  const client = new MobileEngagement(
    new TokenCredentials(asked.token),
    asked.subscription,
    asked.baseUri,
    { noRetryPolicy: true },
  );
  const outcomes = [];
  for (const call of asked.calls) {
    const [group, method] = call.operation.split('.');
    try {
      outcomes.push({ result: await client[group][method](...call.arguments) });
    } catch (error) {
      const { statusCode, code, message } = error;
      outcomes.push({ error: { statusCode, code, message } });
    }
  }
  process.stdout.write(JSON.stringify(outcomes));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
