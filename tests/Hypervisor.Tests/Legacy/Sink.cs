using System.Text;
using Paravane.Hypervisor.Legacy;

namespace Paravane.Hypervisor.Tests.Legacy;

/// <summary>Console output, kept.</summary>
internal sealed class Sink : IConsoleOutput
{
    private readonly List<byte> _bytes = [];

    public string Text => Encoding.ASCII.GetString([.. _bytes]);

    public void Write(byte value) => _bytes.Add(value);
}
