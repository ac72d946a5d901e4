import { serve } from "../pluginServer";
import { gossipKey } from "./gossipKey";
import { handMadeNodes } from "./handMadeNodes";
import { haproxyConfig } from "./haproxyConfig";
import { nodesReady } from "./nodesReady";

serve({
  name: "lab",
  version: "0.1.0",
  resources: {
    "lab:index:GossipKey": gossipKey,
    "lab:index:HandMadeNodes": handMadeNodes,
    "lab:index:HaproxyConfig": haproxyConfig,
    "lab:index:NodesReady": nodesReady,
  },
});
