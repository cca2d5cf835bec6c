// A device with npm's mqtt, written as its users write one for an IoT hub. `tests/it/mqttjs.rs` runs it against the emulator. It
// shares no code with hubstorm, neither for MQTT nor for TLS. Its token is made by hubstorm.
//
// The environment variable DEVICE_TOKEN contains the token. Prints one JSON object as its report.

'use strict';

const fs = require('node:fs');
const { once } = require('node:events');
const { parseArgs } = require('node:util');
const mqtt = require('mqtt');

const TIMEOUT_MS = 30_000;

const { values: args } = parseArgs({
  options: {
    host: { type: 'string' },
    ca: { type: 'string' }, // the PEM file to trust
    device: { type: 'string' },
    'messages-per-qos': { type: 'string', default: '3' },
  },
});

async function main() {
  setTimeout(() => process.exit(1), TIMEOUT_MS).unref();
  const seen = { connack: null, granted: null, sent: [0, 0], pings: 0 };
  const client = mqtt.connect({
    protocol: 'mqtts',
    host: args.host,
    port: 8883,
    ca: fs.readFileSync(args.ca),
    clientId: args.device,
    username: `${args.host}/${args.device}/?api-version=2021-04-12`,
    password: process.env.DEVICE_TOKEN,
    protocolVersion: 4,
    keepalive: 1,
    reschedulePings: false, // Pings even while it sends.
    reconnectPeriod: 0,
  });
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'connack') seen.connack = packet.returnCode;
    if (packet.cmd === 'pingresp') seen.pings += 1;
  });
  try {
    await once(client, 'connect');
    const granted = await client.subscribeAsync(`devices/${args.device}/messages/devicebound/#`, { qos: 1 });
    seen.granted = granted.map(({ qos }) => qos);
    for (const qos of [0, 1]) {
      for (let number = 0; number < Number(args['messages-per-qos']); number += 1) {
        await client.publishAsync(`devices/${args.device}/messages/events/n=${number}`, `{"qos":${qos}}`, { qos });
        seen.sent[qos] += 1;
      }
    }
    while (seen.pings < 2) await once(client, 'packetreceive');
    await client.endAsync();
  } catch (error) {
    seen.error = error.message;
  }
  process.stdout.write(JSON.stringify(seen) + '\n');
  process.exit(0);
}

main();
