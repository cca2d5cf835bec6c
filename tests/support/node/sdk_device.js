// A device with Azure's SDK for Node, unmodified. `tests/support/sdk.rs` starts it, sends commands as JSON lines to its stdin, and
// reads facts as JSON lines from its stdout. ../sdk_device.py is the same device with the SDK for Python.
//
// The environment variable DEVICE_CONNECTION_STRING contains the connection string, because it has a key.

'use strict';

const fs = require('node:fs');
const readline = require('node:readline');
const { parseArgs } = require('node:util');
const { NoRetry } = require('azure-iot-common');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

// Longer than the timeout of the tests.
const LIFETIME_MS = 240_000;
// Time from the renewal of a token to its expiry.
const RENEWAL_MARGIN_S = 100;

const say = (fact, more = {}) => process.stdout.write(JSON.stringify({ fact, ...more }) + '\n');

const { values: args } = parseArgs({
  options: {
    ca: { type: 'string' },
    'token-lifetime': { type: 'string' }, // seconds between two tokens
    'no-retry': { type: 'boolean' }, // do not reconnect
  },
});

let twin;

const commands = {
  async connect(client) {
    await client.open();
    say('connected');
  },
  async disconnect(client) {
    await client.close();
    say('disconnected');
  },
  async send(client, command) {
    const message = new Message(command.body);
    message.messageId = command.message_id;
    message.correlationId = command.correlation_id;
    message.contentType = command.content_type;
    message.contentEncoding = command.content_encoding;
    for (const [key, value] of Object.entries(command.properties ?? {})) message.properties.add(key, value);
    await client.sendEvent(message);
    say('sent');
  },
  // Setting a handler subscribes asynchronously.
  async listen(client, command) {
    client.on('message', (message) => {
      const properties = Object.fromEntries(message.properties.propertyList.map(({ key, value }) => [key, value]));
      const { messageId: message_id, correlationId: correlation_id } = message;
      say('message', { body: message.getData().toString(), message_id, correlation_id, properties });
      client.complete(message, (error) => error && say('failed', { of: 'complete', why: String(error) }));
    });
    for (const name of command.methods) {
      client.onDeviceMethod(name, (request, response) => {
        say('method', { name: request.methodName, payload: request.payload });
        response.send(200, { echo: request.payload }, (error) => say('answered', { error }));
      });
    }
    twin ??= await client.getTwin();
    twin.on('properties.desired', (patch) => say('desired', { patch }));
    say('listening');
  },
  async twin(client) {
    twin = await client.getTwin();
    const { desired, reported } = JSON.parse(JSON.stringify(twin.properties));
    say('twin', { twin: { desired, reported } });
  },
  async report(client, command) {
    twin ??= await client.getTwin();
    await new Promise((done, failed) =>
      twin.properties.reported.update(command.patch, (error) => (error ? failed(error) : done())));
    say('reported');
  },
};

async function main() {
  setTimeout(() => process.exit(1), LIFETIME_MS).unref();
  const client = Client.fromConnectionString(process.env.DEVICE_CONNECTION_STRING, Mqtt);
  const options = { ca: fs.readFileSync(args.ca, 'ascii') };
  if (args['token-lifetime']) {
    const tokenValidTimeInSeconds = RENEWAL_MARGIN_S + Number(args['token-lifetime']);
    options.tokenRenewal = { tokenValidTimeInSeconds, tokenRenewalMarginInSeconds: RENEWAL_MARGIN_S };
  }
  await client.setOptions(options);
  if (args['no-retry']) client.setRetryPolicy(new NoRetry());
  client.on('disconnect', () => say('disconnected'));
  client.on('error', (error) => say('background', { why: String(error) }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    try {
      await commands[command.do](client, command);
    } catch (error) {
      say('failed', { of: command.do, why: `${error.name}: ${error.message}` });
    }
  }
  process.exit(0);
}

main();
