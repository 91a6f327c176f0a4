// Answers with its arguments.
function main(params) {
  return params;
}
