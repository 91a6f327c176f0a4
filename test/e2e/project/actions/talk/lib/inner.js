exports.inner = "inner";
