require "beside"
require "deep/nested"

def main(_params)
  { from: [NESTED, BESIDE] }
end
