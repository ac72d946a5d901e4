import { serve } from "../server";
import { haproxyConfig } from "./haproxyConfig";

serve({
  name: "lab",
  version: "0.1.0",
  resources: { "lab:index:HaproxyConfig": haproxyConfig },
});
