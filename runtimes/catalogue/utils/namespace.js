// Says whose call it is.
function main() {
  return { namespace: process.env.__OW_NAMESPACE };
}
