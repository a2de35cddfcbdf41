// A server whose handlers are short.
"use strict";
const http = require("http");
http.createServer((_, answer) => answer.end(JSON.stringify({ ok: true }) + "\n")).listen(8080);
