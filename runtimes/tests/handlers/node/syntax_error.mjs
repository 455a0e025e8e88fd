export const handler = async () => { 
