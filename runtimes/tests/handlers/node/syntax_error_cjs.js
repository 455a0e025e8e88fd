exports.handler = async () => { 
