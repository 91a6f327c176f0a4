puts "still loading"
loop { sleep 1 }
