console.log("still loading");
for (;;);
