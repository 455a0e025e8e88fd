exports.handler = async () => "bad package.json";
