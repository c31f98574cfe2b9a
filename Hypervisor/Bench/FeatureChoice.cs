using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Bench;

/// <summary>Picks features from what a back-end offers, and says clearly what is missing.</summary>
internal sealed class FeatureChoice(ulong offered)
{
    /// <summary>Features picked so far.</summary>
    public ulong Chosen { get; private set; }

    /// <summary>Picks what cannot be done without.</summary>
    /// <exception cref="FrontendException">It is not offered.</exception>
    public void Need(ulong bit, string name)
    {
        if ((offered & bit) == 0)
        {
            throw new FrontendException($"the back-end does not offer {name}, without which it is not driven");
        }

        Chosen |= bit;
    }

    /// <summary>Picks what an option asks for.</summary>
    /// <exception cref="FrontendException">It is wanted and not offered; the message names the option and the one to use instead.</exception>
    public void Want(bool wanted, ulong bit, string option, string name, string instead)
    {
        if (!wanted)
        {
            return;
        }

        if ((offered & bit) == 0)
        {
            throw new FrontendException($"{option}: the back-end does not offer {name}; use {instead}");
        }

        Chosen |= bit;
    }

    /// <summary>Picks those of <paramref name="bits"/> that are offered.</summary>
    public void Take(ulong bits) => Chosen |= offered & bits;
}
