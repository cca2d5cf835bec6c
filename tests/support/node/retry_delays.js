// Prints the retry delays of the SDK for Node as JSON: minimum and maximum of each of the first retries, in milliseconds.

'use strict';

const { ExponentialBackOffWithJitter } = require('azure-iot-common');

const policy = new ExponentialBackOffWithJitter();
const delay = (retry, random) => {
  Math.random = () => random;
  return policy.nextRetryTimeout(retry, false);
};
// The policy counts failures from 1.
const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((retry) => [delay(retry, 0), delay(retry, 1)]);
process.stdout.write(JSON.stringify(delays) + '\n');
