using Microsoft.Extensions.Logging;
using Paravane.VirtioQueues;

namespace Paravane.VhostServer.Hosting;

/// <summary>Runs one device under the Generic Host.</summary>
internal static class BackendHost
{
    public static int Run(string name, IVirtioDevice device, VhostServerOptions options, LogLevel level) =>
        throw new StartException($"{name}: serving {device.Traits.ThreadName} at {options.SocketPath} ({level}) comes with the next commit");
}
