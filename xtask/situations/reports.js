// A server whose reports take their time: reports.js here|worker|none. With `here` the event loop makes them.
"use strict";
const http = require("http");
const { Worker, isMainThread } = require("worker_threads");

function buildReport(rows) {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum = Math.sqrt(sum + i * 1.000001);
  return sum;
}

function reportForever() {
  buildReport(40e6);
  setTimeout(reportForever, 200);
}

const where = process.argv[2];
if (!isMainThread) {
  reportForever();
} else {
  http.createServer((_, answer) => answer.end("pong\n")).listen(8080);
  if (where === "here") reportForever();
  if (where === "worker") new Worker(__filename, { argv: [where] });
}
