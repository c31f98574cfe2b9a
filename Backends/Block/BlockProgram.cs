using Paravane.VhostServer.Hosting;

namespace Paravane.Backends.Block;

/// <summary>The program <c>paravane-blk</c>: one disk, one process.</summary>
internal static class BlockProgram
{
    /// <summary>Name of the executable.</summary>
    public const string Name = "paravane-blk";

    /// <summary>The program, ready to run.</summary>
    public static BackendProgram Create()
    {
        var options = new BlockOptions();
        return new BackendProgram
        {
            Name = Name,
            Description = "serves one virtio disk over vhost-user.",
            DeviceType = "block",
            Capabilities = ["blk-file", "read-only"],
            Options = options.All,
            CreateDevice = options.CreateDevice,
        };
    }
}
