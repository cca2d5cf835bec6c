// An Aedes broker that keeps its sessions in a folder, for tests/support/aedes.rs:
//   node aedes_broker.js ADDRESS PORT FOLDER [CERTIFICATE KEY]
// With port 0, the kernel picks the port. Prints the port once it listens. LevelDB passes every write to the kernel at once, so stored
// data survives a `kill -9`.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const { ClassicLevel } = require('classic-level');
const persistence = require('aedes-persistence-level');

// Aedes drops a message as a duplicate if a later one overtakes it (its issues 955 and 994). LevelDB's writes complete in any order, so
// each write waits for the previous one.
function inOrder(store) {
  const enqueue = store.outgoingEnqueueCombi.bind(store);
  let before = Promise.resolve();
  store.outgoingEnqueueCombi = (subscriptions, packet) => {
    const written = enqueue(subscriptions, packet);
    before = before.then(() => written);
    return before;
  };
  return store;
}

async function main() {
  const [address, port, folder, certificate, key] = process.argv.slice(2);
  const { Aedes } = await import('aedes');
  const database = new ClassicLevel(folder);
  await database.open();
  const broker = await Aedes.createBroker({ persistence: inOrder(persistence(database)) });
  const server = certificate
    ? tls.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, broker.handle)
    : net.createServer(broker.handle);
  server.listen(Number(port), address, () => console.log(server.address().port));
}

main();
