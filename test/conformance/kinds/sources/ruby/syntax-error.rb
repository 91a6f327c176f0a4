def main(_params)
  { fine: true }
end

broken = ) # @here
