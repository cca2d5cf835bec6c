// Reads a JUnit file and prints its content as JSON. Usage: node read_junit.mjs FILE. Used by tests/it/formats.rs.
import { readFileSync } from 'node:fs';
import * as junit2json from 'junit2json';

const parsed = await junit2json.parse(readFileSync(process.argv[2], 'utf8'));
process.stdout.write(JSON.stringify(parsed));
