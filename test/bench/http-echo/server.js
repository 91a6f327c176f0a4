// Answers what it gets, as an action's own image does that returns its arguments.

const http = require("node:http");

http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const { value } = JSON.parse(Buffer.concat(parts).toString());
      const answer = request.url === "/init" ? "{}" : JSON.stringify(value);
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(answer) });
      response.end(answer);
    });
  })
  .listen(8080);
