def another(_params)
  { fine: true }
end
