module action

go 1.21

require example.com/beside v1.0.0
