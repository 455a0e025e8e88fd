import { basename } from "path";
const value = await Promise.resolve("top-level");
export const handler = async () => `${value} ${basename(import.meta.url)}`;
export default { inner: async () => "default" };
