using System.Runtime.InteropServices;

namespace Paravane.Backends.Net;

/// <summary>What a command on the control queue begins with, <c>struct virtio_net_ctrl</c> (virtio 1.2 §5.1.6.5). 2 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal readonly struct ControlHeader(ControlClass @class, byte command)
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 2;

    /// <summary>Whom the command is for.</summary>
    public readonly ControlClass Class = @class;

    /// <summary>What is to be done; each class counts from 0.</summary>
    public readonly byte Command = command;
}
