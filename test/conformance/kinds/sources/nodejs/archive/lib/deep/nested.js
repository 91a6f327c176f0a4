exports.nested = "nested";
