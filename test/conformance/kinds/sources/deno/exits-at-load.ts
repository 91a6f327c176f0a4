import process from "node:process";

console.log("last words");
process.exit(3);
