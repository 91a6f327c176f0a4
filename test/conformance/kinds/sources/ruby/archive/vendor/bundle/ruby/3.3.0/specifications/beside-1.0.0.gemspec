Gem::Specification.new do |gem|
  gem.name = "beside"
  gem.version = "1.0.0"
  gem.summary = "A dependency that comes along"
  gem.authors = ["nobody"]
end
