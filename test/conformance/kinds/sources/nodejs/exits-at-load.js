console.log("last words");
process.exit(3);
