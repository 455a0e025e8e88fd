require 'oj_like'

def handler(event:, context:)
  OjLike::NAME
end
