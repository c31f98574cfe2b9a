using System.Text.Json;
using Paravane.Hypervisor.Machine;

namespace Paravane.Hypervisor.Control;

/// <summary>One thing that can be asked of a running machine.</summary>
/// <param name="Name">What it is called on the wire and on the command line.</param>
/// <param name="Argument">What it takes, as help shows it; null: nothing.</param>
/// <param name="Description">One line of help.</param>
/// <param name="CarryOut">Does it, on the machine's thread, and adds to the answer.</param>
internal sealed record ControlCommand(string Name, string? Argument, string Description, Action<VirtualMachine, string, Utf8JsonWriter> CarryOut);
