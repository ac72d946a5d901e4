import { serve } from "../pluginServer";
import { gossipKey } from "./gossipKey";
import { handMadeNodes } from "./handMadeNodes";
import { haproxyConfig } from "./haproxyConfig";
import { nodesReady } from "./nodesReady";
import { statsPassword } from "./statsPassword";
import { swarmHaproxyConfig, swarmNodesReady } from "./swarmServing";

serve({
  name: "lab",
  version: "0.1.0",
  resources: {
    "lab:index:GossipKey": gossipKey,
    "lab:index:HandMadeNodes": handMadeNodes,
    "lab:index:HaproxyConfig": haproxyConfig,
    "lab:index:NodesReady": nodesReady,
    "lab:index:StatsPassword": statsPassword,
    "lab:index:SwarmHaproxyConfig": swarmHaproxyConfig,
    "lab:index:SwarmNodesReady": swarmNodesReady,
  },
});
