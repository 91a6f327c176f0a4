def prepare
  raise ArgumentError, "no luck" # @here
end

prepare

def main(_params)
  { fine: true }
end
